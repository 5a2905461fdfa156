"""Words for ways to reach somebody: mail, phone, address, place."""

from __future__ import annotations

EMAILS = """
email emails e_mail mail mails mail_address email_address emailaddress email_addr emailaddr mailaddress e_mail_address mailbox
user_email contact_email work_email personal_email recipient_email sender_email reply_to_email
mailadresse emailadresse e_mail_adresse courriel courriels adresse_email adresse_mail adresse_courriel mel
correo correos correo_electronico correoe direccion_correo e_correo email_contacto
endereco_email endereco_de_email correio_eletronico correio_electronico correio
posta_elettronica indirizzo_email indirizzo_mail pec
emailadres e_mailadres adres_email poczta adres_mailowy emailova_adresa
eposta e_posta eposta_adresi epost epostadress epostadresse e_post sahkoposti sahkopostiosoite email_cim levelezesi_cim drepost
pochta elektronnaya_pochta
"""

PHONES = """
phone phones phone_number phonenumber phone_no phoneno phone_num telephone telephone_number tel tel_no telno tel_nr telnr fon telno
mobile mobile_phone mobile_number mobile_no mobilephone cell_phone cellphone cell_number cellular msisdn fax fax_number faxno
fax_no home_phone work_phone landline pager sms_number whatsapp_number contact_number contact_no emergency_phone phone_home
phone_work phone_mobile
telefon telefonnummer telefonnr rufnummer handy handynummer handynr mobil mobilnummer mobilnr mobiltelefon mobilfunk faxnummer
festnetz tel_privat telefax
telephone_portable telephone_fixe portable num_tel numero_telephone numero_tel tel_port tel_fixe tel_mobile telecopie num_portable
telefono telefonos movil num_telefono numero_telefono tlf telf tfno celular telefono_movil telefono_fijo nro_telefono
telefone telemovel fone celular_numero numero_telefone cellulare numero_cellulare numero_di_telefono recapito_telefonico
telefoonnummer telefoon mobiel mobiele_nummer gsm gsm_no gsm_nummer
numer_telefonu nr_telefonu komorka telefon_kom tel_kom telefonni_cislo mobilni_telefon cislo_telefonu telefonne_cislo
telefon_no telefon_numarasi cep_telefonu cep_no cep_tel cep_numarasi
telefonnummer_mobil mobilnummer mobiltelefonnummer tlf_nr tlfnr puhelin puhelinnumero matkapuhelin gsm_numero
telefonszam mobilszam telefonnumber numar_telefon nr_telefon telefoni_number mobitel nomer_telefona
"""

ADDRESSES = """
address addresses addr address_line addressline address_text street_address streetaddress street street_name street_no street_number
house_number house_no housenumber apartment apt_no postal_address mailing_address home_address shipping_address billing_address
delivery_address full_address residence address_full addressee
adresse anschrift strasse hausnummer hausnr haus_nr strasse_nr strassenname wohnadresse lieferadresse rechnungsadresse adr
postanschrift adresszeile adresszusatz
rue voie num_voie adresse_postale adresse_livraison adresse_facturation complement_adresse domicile adr_rue
direccion domicilio calle direccion_envio direccion_facturacion num_exterior num_interior numero_exterior
endereco logradouro morada rua endereco_entrega bairro complemento_endereco
indirizzo indirizzo_residenza residenza numero_civico indirizzo_spedizione recapito
adres straat straatnaam huisnummer huisnr postadres adres_zamieszkania ulica nr_domu numer_domu adres_korespondencyjny
adresa ulice cislo_popisne bydliste trvale_bydliste ulica_cislo bydlisko
adresi acik_adres sokak cadde mahalle ev_adresi
gatuadress gata postadress hemadress gateadresse vej vejnavn husnummer
osoite katuosoite katu postiosoite lakcim utca hazszam strada adresa_domiciliu aadress tanav iela adrese gatve adresas
ulitsa adres_prozhivaniya kucni_broj
"""

POSTCODES = """
postcode postal_code postalcode post_code zip zipcode zip_code zip4 zip_plus4 plz postleitzahl code_postal codepostal cp cod_postal
codigo_postal codpostal c_postal cep cep_no codigo_cep cap_residenza codice_postale cod_cap postcode_nr kod_pocztowy kodpocztowy
psc smerovaci_cislo posta_kodu postakodu postnummer postnr postinumero irsz iranyitoszam cod_postal_ro sihtnumber pasta_indekss
pin_code_postal pincode postanski_broj postna_stevilka pochtovyy_indeks eircode
"""

CITIES = """
city cities town municipality locality suburb village city_name cityname hometown home_town city_code ort wohnort stadt ortschaft
gemeinde ville commune localite ciudad localidad poblacion municipio cidade localidade concelho citta comune localita
stad woonplaats plaats miasto miejscowosc mesto obec sehir ilce stad postort poststed kommune kaupunki postitoimipaikka paikkakunta
varos telepules helyseg oras localitate linn pilseta miestas gorod mjesto
"""

PLACES = """
lat latitude lng longitude lon latlng latlong lat_long lat_lng lat_lon coordinates coordinate coords gps gps_location gps_position geo
geolocation geo_location geo_point geo_coordinates geopoint home_location current_location last_location last_position
breitengrad laengengrad koordinaten geokoordinaten latitud longitud coordenadas latitudine longitudine coordinate_gps
breedtegraad lengtegraad szerokosc_geograficzna dlugosc_geograficzna enlem boylam
"""

CONTACT_DETAILS = """
contacts contact_info contact_information contact_details contact_data kontaktdaten kontakte coordonnees datos_contacto contatti
personal_data personal_info personal_information pii pii_data persoonsgegevens dane_osobowe osobni_udaje
"""
"""Several of the above in one document."""

PROFILES = """
profile profil perfil profilo contact kontakt contacto contatto shipping billing customer_data user_data customer user person recipient
"""
"""As a document (JSON, XML, composite): a person's data."""
