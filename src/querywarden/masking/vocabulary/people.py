"""Words for people: names, accounts, birth and sex."""

from __future__ import annotations

GIVEN_AND_FAMILY_NAMES = """
first_name firstname fname forename given_name givenname middle_name middlename mname middle_initial last_name lastname lname surname
family_name familyname maiden_name second_name legal_name preferred_name birth_name mothers_maiden_name mother_name father_name
vorname vornamen rufname nachname familienname zuname geburtsname maedchenname ansprechpartner
prenom prenoms nom_famille nom_de_famille nom_usage nom_naissance nom_jeune_fille patronyme
primer_nombre segundo_nombre apellido apellidos primer_apellido segundo_apellido apellido_paterno apellido_materno
primeiro_nome sobrenome apelido nome_mae nome_pai nome_completo nome_proprio cognome cognome_nome nome_cognome
voornaam achternaam tussenvoegsel roepnaam familienaam meisjesnaam
imie nazwisko imie_nazwisko nazwisko_rodowe krestni_jmeno prijmeni rodne_prijmeni krstne_meno priezvisko
soyad soyadi soyisim ad_soyad isim_soyisim
fornamn efternamn tilltalsnamn mellannamn fornavn etternavn mellomnavn efternavn mellemnavn
etunimi sukunimi kutsumanimi keresztnev vezeteknev csaladi_nev utonev prenume nume_familie
eesnimi perekonnanimi vards uzvards vardas pavarde ime_prezime prezime priimek familiya imya otchestvo imja familija
full_name fullname contact_name contact_person person_name cardholder cardholder_name card_holder account_holder
account_holder_name holder_name bank_account_name beneficiary_name emergency_contact emergency_contact_name next_of_kin spouse_name
signatory author_name authors_name nombre_completo nom_complet nome_completo vollstaendiger_name teljes_nev
"""

NAME_NOUNS = """
name names nom nombre nombres nome naam naem namn navn nimi nev jmeno meno isim nume ime imie nimetus vardas imya fio
display_name displayname
"""
"""Words for any name: a person's only beside a person or in a table of persons."""

NAME_IN_TABLES_OF_PERSONS = "full_name fullname display_name nickname nick nickname spitzname surnom apodo"

PERSONS = """
user usr users person people persons human individual customer cust client clients employee emp empl staff personnel member
subscriber patient pacient doctor physician nurse practitioner student pupil teacher professor guest visitor lead prospect contact
candidate applicant attendee participant passenger rider landlord resident citizen voter donor volunteer buyer
shopper consumer reviewer author owner recipient sender borrower debtor creditor insured policyholder beneficiary dependent
guardian spouse sibling relative profile manager supervisor actor player coach signer winner
kunde kunden mitarbeiter personal angestellter benutzer nutzer anwender patienten person personen mitglied mitglieder schueler
student lehrer arzt aerzte bewerber gast gaeste mieter vermieter fahrer teilnehmer empfaenger absender versicherter inhaber
utilisateur utilisateurs salarie salaries employe employes personne personnes eleve etudiant enseignant medecin adherent
abonne locataire proprietaire candidat participant voyageur assure beneficiaire titulaire
usuario usuarios cliente clientes empleado empleados persona personas paciente pacientes alumno alumnos estudiante profesor medico
socio socios huesped inquilino titular contacto contactos pasajero trabajador trabajadores
funcionario funcionarios colaborador pessoa pessoas aluno alunos professor utilizador utente hospede motorista
utente utenti dipendente dipendenti persona persone paziente pazienti studente iscritto iscritti ospite anagrafica contatto contatti
klant klanten gebruiker gebruikers medewerker werknemer persoon personen leerling docent huurder
klient klienci uzytkownik pracownik osoba osoby pacjent uczen student nauczyciel
zakaznik zakaznici uzivatel zamestnanec osoby pacient student ucitel
musteri musteriler kullanici calisan personel kisi kisiler hasta ogrenci ogretmen
kund kunder anvandare anstalld personer elev bruker ansatt kunde bruger medarbejder
asiakas kayttaja tyontekija henkilo henkilot potilas opiskelija ugyfel felhasznalo dolgozo szemely beteg tanulo
angajat utilizator persoana elev polzovatel klient sotrudnik creator
"""

THINGS = """
product item article sku goods category categories tag tags group groups team department dept division company organisation
organization org firm vendor_company brand model make manufacturer store shop site page template layout file document doc folder
directory image photo picture video album track song film movie book genre language currency country state province region
county district territory zone city town location place venue room building warehouse plan product_plan package bundle version release
gem module plugin extension component service server host machine node cluster container namespace schema table database column
field attribute property option setting config parameter key queue topic channel event job task worker_job process workflow
status type kind role permission scope policy rule report chart dashboard query survey question campaign project repository repo
branch build pipeline environment domain url link route endpoint application app api program class function method
course subject school university hospital clinic bank account currency tax rate unit measure color size shape material
icon menu widget theme font calendar resource device sensor feature metric index variable label slot form filter
produkt artikel kategorie gruppe abteilung firma unternehmen land bundesland datei produit categorie groupe entreprise societe
fichier pays producto categoria grupo empresa archivo pais prodotto gruppo azienda produto arquivo producten categorie bedrijf
produkt firma kategoria plik soubor firma urun kategori sirket ulke yritys tuote ceg termek
"""
"""Words for what has a name and isn't a person."""

USERNAMES = """
username user_name usrname login login_name loginname logon user_login userlogin screen_name screenname user_handle
benutzername anmeldename nutzername nom_utilisateur identifiant_utilisateur nombre_usuario nombre_de_usuario nome_usuario
nome_utente nome_utilizador gebruikersnaam nazwa_uzytkownika uzivatelske_jmeno kullanici_adi anvandarnamn brukernavn brugernavn
kayttajanimi kayttajatunnus felhasznalonev nume_utilizator uzivatelske_meno
twitter facebook linkedin instagram skype telegram whatsapp snapchat tiktok wechat weibo yahoo icq jabber mastodon
twitter_handle github_username twitter_username facebook_id linkedin_url skype_id github_id google_id facebook_url twitter_url
"""

ONLINE_NAMES_IN_TABLES_OF_PERSONS = "login handle alias nickname nick pseudo pseudonym avatar_url avatar diaspora_handle screenname"

BIRTH = """
dob birth_date birthdate birthday date_of_birth date_birth born born_on born_at birth_day birthtime birth_time year_of_birth
birth_year month_of_birth birth_month day_of_birth bday bdate dateofbirth place_of_birth birth_place birthplace
geburtsdatum geburtstag geb_datum gebdatum geburt geboren_am gebdat geburtsjahr geb_dat geburtsort
date_naissance date_de_naissance naissance date_naiss datenaiss ne_le annee_naissance ddn dt_naissance lieu_naissance
fecha_nacimiento fecha_de_nacimiento nacimiento fec_nac fecha_nac f_nacimiento fechanac fnac cumpleanos lugar_nacimiento
data_nascimento data_de_nascimento nascimento dt_nasc data_nasc dt_nascimento nasc
data_nascita data_di_nascita nascita dt_nascita compleanno luogo_nascita geboortedatum geb_dat geboorte verjaardag
data_urodzenia urodzenia data_ur datum_narozeni narozeni dat_nar datum_narodenia
dogum_tarihi dogum_tar dogumtarihi fodelsedatum fodelsedag fodt fodselsdato fodselsdag foedselsdato
syntymaaika syntymapaiva szuletesi_datum szuletesi_ido szuletett data_nasterii data_nastere datum_rodenja sunniaeg data_rozhdeniya
"""

GENDERS = """
gender sex genders gender_identity geschlecht anrede_geschlecht sexe genero_persona sexo sesso geslacht plec pohlavi pohlavie cinsiyet
kon kjonn sukupuoli nem_szemely sugu pol_osoby
"""
